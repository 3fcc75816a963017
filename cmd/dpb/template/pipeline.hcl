# Data that dpb observes and does not make: one file a day.
source "sales" {
  partition_by = ["day"]
  path         = "sales/${partition.day}.csv"
  columns      = { time = "TIMESTAMP NOT NULL", product = "VARCHAR", pieces = "BIGINT", price = "DECIMAL(9,2)" }
}

# One job a day: the SQL reads its input under the input's name, and the day is $day.
target "revenue" {
  description  = "Revenue of each product on each day"
  partition_by = ["day"]
  inputs       = [":sales"]
  sql          = file("revenue.sql")
}

# No partition_by: one job that reads all days.
target "report" {
  description = "The products by revenue, over all days"
  inputs      = [":revenue"]
  sql         = <<-SQL
    SELECT product, sum(revenue) AS revenue, count(*) AS days
    FROM revenue
    GROUP BY product
  SQL

  output "report" {
    path = "report.csv"
  }
}
