"""Hidden Markov models, by hand in PyTorch and as stories in Pyro.

hmm          the model; `HMM.potentials` turns it and its observations into logarithms
inference    the questions asked of them: evidence, filtering, smoothing, Viterbi, samples
recursion    the one algorithm behind all answers; enumeration, the slow one it is checked by
kernels      the same recursion, compiled for the CPU
learning     Baum-Welch, gradient ascent, restarts, which state is which
factorial    several chains, one observation, exactly
nilm, meter  a house's power, split among its appliances
pyro_models  the same stories in Pyro
draw, plot   graphical models; figures of sequences and posteriors
datasets     the data of the book
book         for the chapters alone: source on display, live figures, exercises
"""
