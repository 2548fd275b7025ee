"""For `dask worker --preload` and `--preload-nanny`: hides their keys and environment from users' UDFs."""

from openeo_udf_fusion.local.udf.confinement import hide_from_udfs


def dask_setup(_: object) -> None:
    """Called by dask in a worker, or in the nanny that starts one, before it does anything."""
    hide_from_udfs()
