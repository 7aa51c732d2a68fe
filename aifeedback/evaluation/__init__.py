"""How far critics agree with people: figures, intervals, baselines, the human ceiling and what follows from them."""
