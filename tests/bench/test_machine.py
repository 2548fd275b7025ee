import pytest

from openeo_udf_fusion.bench import machine


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_have_a_speed(monkeypatch, precision):
    monkeypatch.setattr(machine, "MATMUL_SIZE", 100)
    assert 0.001 < machine.matmul_gflops(precision) < 1e6


def test_the_machine_has_a_name_and_cores():
    facts = machine.facts()
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert facts["load_average"] >= 0
