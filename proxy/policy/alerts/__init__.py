"""When an alert fires, when it is over, and what is sent. Pure: values and times are passed in."""
