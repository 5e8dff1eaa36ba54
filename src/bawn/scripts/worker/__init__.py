"""The process in which the scripts of one project and exec id run: no network, no key, its answers by one socket."""
