package {
  owner      = "trust-and-safety"
  visibility = ["//reports/...", "//charts/..."]
}

target "classified" {
  description  = "Every play with the confidence that it is spam; null where no user is known"
  partition_by = ["day"]

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
      that    = range(metric.spam_rate, 0.01, 0.40)
      message = "share of spam outside 1 to 40 %"
    }
    expect "no_jump" {
      prior    = 7
      that     = abs(metric.spam_rate - mean(prior[*].metric.spam_rate)) < 0.10
      severity = "warn"
    }
  }
}
