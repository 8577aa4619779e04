-- Nobody asks which jobs have changed since a number: to keep them in that order cost time at each write.
-- All of it is in the schema that is first on the search path.
drop index job_change;
