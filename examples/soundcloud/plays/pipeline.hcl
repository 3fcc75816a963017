package {
  owner      = "ingestion"
  visibility = ["//spam/...", "//reports/...", "//charts/..."]
}

source "catalogue" {
  description = "The tracks with their artists, as the labels send them"
  path        = "tracks.csv"
  columns     = { track_id = "INTEGER NOT NULL", title = "VARCHAR NOT NULL", artist = "VARCHAR NOT NULL" }
}

target "tracks" {
  description = "The catalogue, each track once"
  inputs      = [":catalogue"]
  sql         = "FROM catalogue"

  output "tracks" {
    key = ["track_id"]
  }
}

source "offline" {
  description  = "Plays of devices that were offline for days, by day of listening; a file grows as they come back"
  partition_by = ["day"]
  path         = "offline/${partition.day}.ndjson"
  columns      = local.play
}

target "raw" {
  description  = "What the players sent on one day: some plays twice, some without a user, some of the day before"
  partition_by = ["day"]
  visibility   = []

  inputs  = [":catalogue"]
  command = ["python3", "generate.py", partition.day, input.catalogue, output.raw]
  code    = ["generate.py"]
  env     = { SEED = 2017 }

  output "raw" {
    path    = "raw.ndjson"
    columns = local.play
  }
}

target "plays" {
  description  = "The plays of one day, each once, with the country as ISO 3166 has it or null"
  partition_by = ["day"]
  visibility   = ["//spam/..."]

  inputs = [":offline"]
  input "raw" {
    from   = ":raw"
    window = [0, 1] # a play just before midnight comes with the next day's file
  }

  sql = file("plays.sql")

  output "plays" {
    path       = "plays.csv"
    key        = ["event_id"]
    references = { track_id = ":tracks" }
    columns    = local.play

    metric "unknown_country" { sql = "avg((country IS NULL)::INT)" }

    expect "countries" {
      that    = metric.unknown_country < 0.02
      message = "more than 2 % of the plays have a country that nobody knows"
    }
    expect "complete" {
      prior    = 3
      that     = ratio(rows, mean(prior[*].rows)) > 0.5
      message  = "fewer than half the plays of the last days: is a collector down?"
      severity = "warn"
    }
  }
}
