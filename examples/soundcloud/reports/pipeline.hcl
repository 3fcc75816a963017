package {
  owner      = "royalties"
  visibility = []
}

locals {
  money = "DECIMAL(18,6)" # a play is worth fractions of a cent; only a statement is rounded
}

source "contracts" {
  description = "What each artist gets for one play, in euros"
  path        = "contracts.csv"
  columns     = { artist = "VARCHAR NOT NULL", per_play = local.money }
}

target "earnings" {
  description  = "What each artist earned on one day: plays of at least 30 seconds by people"
  partition_by = ["day"]

  inputs = ["//plays:tracks", ":contracts"]
  input "classified" {
    from = "//spam:classified"

    expect "payable" {
      that    = rows * (1 - metric.spam_rate) >= 2000
      message = "too few plays by people to pay by"
    }
  }

  sql = file("earnings.sql")

  output "earnings" {
    key     = ["artist"]
    columns = { artist = "VARCHAR NOT NULL", plays = "BIGINT NOT NULL", amount = local.money }

    expect "all_under_contract" {
      that    = column.amount.nulls == 0
      message = "somebody was played who has no contract"
    }
  }
}

target "balance" {
  description  = "What each artist has earned up to and with this day"
  partition_by = ["day"]

  inputs = [":earnings"]
  input "before" {
    from   = ":balance"
    window = [-1, -1] # the day before; nothing before the first
  }

  sql = <<-SQL
    SELECT artist, sum(plays)::BIGINT AS plays, sum(amount)::${local.money} AS amount
    FROM (FROM earnings UNION ALL BY NAME FROM before)
    GROUP BY artist
  SQL

  output "balance" {
    key     = ["artist"]
    columns = { artist = "VARCHAR NOT NULL", plays = "BIGINT NOT NULL", amount = local.money }
  }
}

target "royalties" {
  description  = "The statement of a month: what each artist earned in it, and the balance at its end"
  partition_by = ["month"]
  due          = "+1d 09:00"

  inputs = [":earnings"]
  input "balance" {
    from = ":balance"
    take = "last"
  }

  sql = file("royalties.sql")

  output "royalties" {
    path = "royalties.csv"
    key  = ["artist"]

    expect "money" { that = column.royalties.min >= 0 }
  }
}

target "close" {
  description  = "What is booked in a month, and paid: what it came to, and what months before it come to now beyond what was booked for them"
  partition_by = ["month"]
  freeze       = "+5d" # the accounts of a month are open for five days after it; then nothing moves them any more

  input "royalties" {
    from   = ":royalties"
    window = ["first", 0]
  }
  input "booked" {
    from   = ":close"
    window = ["first", -1]
  }

  sql = file("close.sql")

  output "close" {
    path    = "close.csv"
    key     = ["for_month", "artist"]
    columns = { for_month = "VARCHAR NOT NULL", artist = "VARCHAR NOT NULL", amount = "DECIMAL(12,2) NOT NULL" }
  }
}
