# Data that dpb observes and does not make.
source "people" {
  path    = "people.csv"
  columns = { name = "VARCHAR NOT NULL", language = "VARCHAR" }
}

# A table that dpb makes: the SQL reads the input by its name.
target "hello" {
  inputs = [":people"]
  sql    = file("hello.sql")

  output "hello" {
    path = "hello.csv" # without it: hello.parquet
  }
}
