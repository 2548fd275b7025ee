"""From files to cubes: indexes of folders, layers on a grid, names of bands, STAC."""
