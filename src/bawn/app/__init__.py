"""The unprivileged process: builds the rooms, connects them, and orders what takes more than one."""
