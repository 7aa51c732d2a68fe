"""One page about a labelled file: what was labelled and how, what biases it, and the pairs themselves."""
