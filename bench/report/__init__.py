"""What people look at: terminal text, pictures and the HTML file. Only formats; it computes and times nothing."""
