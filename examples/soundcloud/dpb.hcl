workspace "soundcloud" {
  requires = ">= 0.1"
}

team "ingestion" { contact = "#ingestion" }
team "trust-and-safety" { contact = "#trust-safety" }
team "royalties" { contact = "royalties@example.com" }
team "discovery" { contact = "#discovery" }

# The week that ends a month and the one that begins the next.
partition "day" {
  every = "day"
  start = "2017-05-25"
  end   = "2017-06-07"
}

partition "month" {
  every = "month"
  start = "2017-05"
  end   = "2017-06"
}

# What a play is, in all packages.
locals {
  play = {
    event_id  = "BIGINT NOT NULL"
    user_id   = "BIGINT"
    track_id  = "INTEGER NOT NULL"
    country   = "VARCHAR"
    played_at = "TIMESTAMP NOT NULL"
    seconds   = "INTEGER NOT NULL"
  }
}
