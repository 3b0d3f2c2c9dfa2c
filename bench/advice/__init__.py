"""From stored rows to the backend that ends a job first: costs, time model, crossovers, decision, recommendation."""
