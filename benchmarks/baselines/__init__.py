"""What a competent user would write without this program. Each says the same as the program, and that is checked."""
