"""Keys, certificates in Jami's form, OpenDHT signing and encryption, password boxes."""
