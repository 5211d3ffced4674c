"""Claims about several effects: all of them, their differences, and wholes beside their parts."""
