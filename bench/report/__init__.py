"""What people look at: terminal text, pictures and the HTML file. It times nothing and computes no statistics."""
