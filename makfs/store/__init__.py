"""The journal and all texts: schema, migrations, nodes, snapshots, check. The only room with SQL."""
