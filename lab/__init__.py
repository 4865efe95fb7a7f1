"""Test hosts in network namespaces: two cluster nodes, switches, a router, reference hosts and a client.

`Lab` (lab/network.py) is the whole of it; lab/lab is the same as a command. Python standard library only.
"""
from .network import Lab, LabError  # noqa: F401
from .watching import Client, Observer, WebClient  # noqa: F401
