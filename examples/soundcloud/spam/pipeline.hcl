package {
  owner      = "trust-and-safety"
  visibility = ["//reports/...", "//charts/..."]
}

target "classified" {
  description  = "Every play with the confidence that it is spam; null where no user is known"
  partition_by = ["day"]
  due          = "06:00"

  input "plays" {
    from = "//plays:plays"

    expect "volume" {
      that    = rows >= 1000
      message = "too few plays to score"
    }
  }

  command = ["python3", "classify.py", input.plays, output.classified]
  code    = ["classify.py"]
  env     = { THRESHOLD = 0.5 }

  output "classified" {
    path    = "classified.csv"
    key     = ["event_id"]
    columns = merge(local.play, { confidence = "DOUBLE", is_spam = "BOOLEAN" })

    metric "spam_rate" { sql = "avg(is_spam::INT)" }

    reject "unscored" {
      where = "confidence IS NULL"
      limit = "2%"
    }

    expect "plausible" {
      that    = range(metric.spam_rate, 0.05, 0.60) && column.country.entropy > 1.5
      message = "spam outside 5 to 60 %, or plays from hardly more than two countries"
    }
    expect "blind" {
      prior   = 7
      that    = metric.spam_rate >= 0.75 * median(prior[*].metric.spam_rate)
      message = "far less spam than on the days before: there may be some that nobody sees"
    }
    expect "countries" {
      prior   = 7
      that    = abs(column.country.entropy - median(prior[*].column.country.entropy)) <= 0.05
      message = "the plays come from other countries than on the days before"
    }
    expect "attack" {
      prior    = 7
      that     = metric.spam_rate <= 1.5 * median(prior[*].metric.spam_rate)
      message  = "more spam than on the days before: somebody tries something"
      severity = "warn"
    }
  }
}

target "anonymous" {
  description = "How many plays of each day have no user: what ingestion is asked about"
  inputs      = { plays = ":classified.quarantine" }
  sql         = "SELECT day, count(*) AS plays FROM plays GROUP BY day"

  output "anonymous" {
    path = "anonymous.csv"
  }
}
