-- Nobody asks which jobs have changed since a number: to keep them in that order cost time at each write.
drop index job_change;
