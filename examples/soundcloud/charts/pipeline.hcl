package {
  owner = "discovery"
}

target "top_tracks" {
  description  = "The ten tracks that people of each country played most in the last seven days"
  partition_by = ["day"]

  inputs = ["//plays:tracks"]
  input "week" {
    from   = "//spam:classified"
    window = [-6, 0]
  }

  sql = file("top_tracks.sql")

  output "top_tracks" {
    path = "top_tracks.csv"
    key  = ["country", "rank"]

    expect "full" { that = rows == 10 * column.country.distinct }
  }
}
