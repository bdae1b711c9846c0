"""Pictures drawn on the spot: a flat travel poster of what a prompt says."""
