"""The durable state that api and worker share: settings, database, job life cycle, objects."""
