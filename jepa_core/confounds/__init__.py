"""Could something as plain as brightness be what a score tells apart?"""
