"""The methods of the D-Bus API, one class per topic."""
