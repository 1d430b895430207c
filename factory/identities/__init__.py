"""Who shall exist: proposals, the gate that admits them, and the plan of what is made of them."""
