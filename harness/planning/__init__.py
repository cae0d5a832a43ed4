"""From a spec file to a plan: parsing, overrides, tasks and their content keys."""
