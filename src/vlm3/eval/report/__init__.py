"""Tables, pages and figures of scored runs, with the published rows."""
