# The files hold a month each. Days are cut from them, counted by month, and added up to the year.

source "on_time" {
  description  = "All flights that left New York City in 2013; README.md says where they come from"
  partition_by = ["month"]
  path         = "data/${partition.month}.csv.gz"
  columns = {
    date           = "DATE NOT NULL"
    sched_dep_time = "SMALLINT NOT NULL"
    dep_delay      = "VARCHAR NOT NULL"
    carrier        = "VARCHAR NOT NULL"
    flight         = "INTEGER NOT NULL"
    origin         = "VARCHAR NOT NULL"
    dest           = "VARCHAR NOT NULL"
  }
}

source "published" {
  description = "What the book R for Data Science prints of the same flights"
  path        = "published.csv"
  columns     = { period = "VARCHAR NOT NULL", measure = "VARCHAR NOT NULL", published = "DECIMAL(12,1) NOT NULL", page = "VARCHAR NOT NULL" }
}

target "departures" {
  description  = "The flights of one day, each with its time and its delay in minutes; without a delay it was cancelled"
  partition_by = ["day"]
  inputs       = [":on_time"]
  sql          = file("departures.sql")

  output "departures" {
    key = ["scheduled", "carrier", "flight", "origin"]

    metric "cancelled" { sql = "avg((delay IS NULL)::INT)" }

    expect "airports" {
      that    = column.origin.distinct == 3
      message = "flights leave from EWR, JFK and LGA on every day"
    }
    expect "flown" {
      that     = metric.cancelled < 0.5
      message  = "more than half of the flights were cancelled"
      severity = "warn" # it happens: in the blizzard of 2013-02-08 and on the day after it
    }
  }
}

target "routes" {
  description  = "Flights, cancelled flights and minutes of delay of each route in a month"
  partition_by = ["month"]
  inputs       = [":departures"]
  sql          = file("routes.sql")

  output "routes" {
    key = ["origin", "dest"]
  }
}

target "summary" {
  description = "The year and its months, a row each"
  inputs      = [":routes"]
  sql         = file("summary.sql")

  output "summary" {
    path = "summary.csv"
    key  = ["period"]
  }
}

target "check" {
  description = "What we computed beside what is published"
  inputs      = [":summary", ":published"]
  sql         = file("check.sql")

  output "check" {
    path = "check.csv"
    key  = ["period", "measure"]

    metric "different" { sql = "count(*) FILTER (NOT equal)" }

    expect "equal" {
      that    = metric.different == 0
      message = "a number is not what the book prints"
    }
  }
}
