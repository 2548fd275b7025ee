"""The public function of each process: cube in, cube out."""
