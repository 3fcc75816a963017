workspace "hello" {}
