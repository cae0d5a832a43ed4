# The packages here are installed into environments of their own by tests/test_plugins_installed.py
# and test themselves there; in this environment they cannot be imported.
collect_ignore_glob = ["*/*"]
