"""The console command: one file a command; a command parses and calls, nothing else."""
