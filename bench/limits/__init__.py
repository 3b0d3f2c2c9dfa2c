"""What the machine can do, each backend's share of it, and the targets; probes and peers."""
