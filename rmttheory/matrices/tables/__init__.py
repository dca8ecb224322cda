"""The table of the Tracy-Widom laws, the script that makes it, and the determinants that check it."""
