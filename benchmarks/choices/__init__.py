"""How good the model of cost is: the points that are predicted, and what is made of them."""
