"""The command line, `umbel`: one lazily loaded command a function, none of which knows how a job runs."""
