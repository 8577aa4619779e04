-- sql_migrating: what SQLAlchemy's Core cannot say of tables

-- name: add_column
-- {place} the table with its schema, {column} the column with its type: both are names of ours, as the dialect quotes them
alter table {place} add column {column}
