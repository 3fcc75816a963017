workspace "flights" {
  requires = ">= 0.1"
}

partition "day" {
  every = "day"
  start = "2013-01-01"
  end   = "2013-12-31"
}

partition "month" {
  every = "month"
  start = "2013-01"
  end   = "2013-12"
}
