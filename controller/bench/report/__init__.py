"""A run folder as pages and tables: report.html, results.csv, results.json, junit.xml."""
