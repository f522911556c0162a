#!/bin/sh
echo "the api is well"
