"""Networks on points and voxels, the models of e3nn under its dated names.

Each module is a version of its own, with e3nn's classes, arguments, state dicts and numbers:

- `gate_points_2101`, `gate_points_2102`: networks on points with gates, January and February 2021;
- `v2103`, `v2106`: message passing and networks on points, March and June 2021;
- `v2103.voxel_convolution`, `v2104.voxel_convolution`: convolution on volumes;
- `v2203.sparse_voxel_convolution`: convolution on volumes of which few voxels are stored.

A new model starts best from the latest version, v2106 for points and v2104 for volumes.
"""
