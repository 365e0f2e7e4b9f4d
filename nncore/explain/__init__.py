"""What a network has learned, and whether it learned rightly. Arrays go in, arrays come out, and the same ones every time.

permutation_importance   how much worse the answers are without a column
input_gradients          how an output changes with each input of a row
layer_activations        what every layer makes of some rows
maximal_input            an input that a unit answers most strongly
loss_along_line, loss_over_plane   the loss around the parameters that were found
gradient_check           back-propagation against differences of the loss
"""
