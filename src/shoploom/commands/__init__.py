"""The commands of the command line, a file per stage. Heavy modules are imported inside the functions only."""
