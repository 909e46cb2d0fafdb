package main

// reasons are what was found out about goals that are missed, by how their names begin. They are the only part of the page that is written by
// hand, and stand there only while the goal is missed.
var reasons = []struct{ goal, text string }{}
