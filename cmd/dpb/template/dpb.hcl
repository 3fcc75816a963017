workspace "first" {}

# Targets with partition_by = ["day"] are built once for each of these days.
partition "day" {
  every = "day"
  start = "2024-03-01"
  end   = "2024-03-03" # inclusive; without it: up to yesterday
}
