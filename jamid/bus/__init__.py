"""The D-Bus API: contract, dispatcher and one thin class per topic."""
