"""What convolutions multiply: the windows of some items, side by side, as the columns of one matrix.

Where rows are short, some items are turned first, so that the same number of all of them lies side by side. Then the windows of a row give
one long run of numbers for each place of the window, which is copied at the speed of memory; item by item a run is as short as a row
of windows, and copying took as long as multiplying.
"""

from __future__ import annotations

from nncore.machine.kernels import Array, jit, view


@jit
def turn(x: Array, turned: Array, top: int, left: int) -> None:
    """turned[channel, i + top, j + left, image] = x[image, channel, i, j], with zeros around it."""
    images, channels, height, length = x.shape
    if turned.size > x.size:
        view(turned, 0, turned.size)[:] = turned.dtype.type(0)
    for channel in range(channels):
        for i in range(height):
            row = turned[channel, i + top]
            for image in range(images):
                for j in range(length):
                    row[j + left, image] = x[image, channel, i, j]


@jit
def turn_back(turned: Array, x: Array, top: int, left: int) -> None:
    """x[image, channel, i, j] = turned[channel, i + top, j + left, image]"""
    images, channels, height, length = x.shape
    for channel in range(channels):
        for i in range(height):
            row = turned[channel, i + top]
            for image in range(images):
                for j in range(length):
                    x[image, channel, i, j] = row[j + left, image]


@jit
def gather_columns(back: bool, x: Array, first_channel: int, first_row: int, columns: Array, g: Array) -> None:
    """columns[channel, ki, kj, i, j, image] = x[channel, i stride + ki dilation, j stride + kj dilation, image], with x turned, and flat.

    back: each is added to where it came from instead.
    """
    channels, tall, wide, rows, width, images = columns.shape
    stride, across, dilation, apart, high, long = g[5], g[6], g[7], g[8], g[13], g[14]
    runs, numbers = (1, width * images) if across == 1 else (width, images)  # windows without gaps: a whole row at once
    flat, at = view(columns, 0, columns.size), 0
    for channel in range(channels):
        for ki in range(tall):
            for kj in range(wide):
                for i in range(rows):
                    down = (first_channel + channel) * high + (first_row + i) * stride + ki * dilation
                    for run in range(runs):
                        start = (down * long + kj * apart + run * across) * images
                        here, there = view(flat, at, numbers), view(x, start, numbers)
                        if back:
                            for j in range(numbers):
                                there[j] += here[j]
                        else:
                            for j in range(numbers):
                                here[j] = there[j]
                        at += numbers
